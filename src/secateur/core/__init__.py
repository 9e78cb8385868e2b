"""What every room uses: errors, seeds, registries, records, files and progress."""
