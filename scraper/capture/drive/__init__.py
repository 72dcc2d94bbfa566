"""A viewer operated as a person would: its login form, its lists, its stacks, its download button."""
