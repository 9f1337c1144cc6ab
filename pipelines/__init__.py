"""What runs, and when?  May import `assets` and `resources`."""
