"""report.html: one file that opens anywhere, without network and without scripts."""
