"""What data do we make, and by which rules?  May import `resources`, never `pipelines`."""
