"""`luss doctor`: what is wrong with an installation or a folder, and what to do."""
