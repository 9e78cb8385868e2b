"""Methods: whole ways from a dense model and a budget to a small one, behind one interface."""
