"""The structural independence assumption: stated, measured, and judged before anything is cut."""
