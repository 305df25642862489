"""`luss doctor`: finds what is wrong with an installation or a project folder, and says what to do."""
