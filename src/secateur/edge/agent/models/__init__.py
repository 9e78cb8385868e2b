"""Bundles side by side: installed, tried in the shadow, activated, rolled back."""
