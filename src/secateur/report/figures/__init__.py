"""Pictures of the report, one file each; inline SVG and HTML that take their colours from the page."""
