"""What a model is made of as data: family specifications, units, closures, plans, budgets and counting."""
