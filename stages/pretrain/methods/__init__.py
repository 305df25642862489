"""The methods of this stage, one file each."""
