"""Running a transformer one block at a time."""
