"""One embedding per photograph: the mean of a map of features, weighted by the model's attention if it has one.

Source: LUSS, section 3.1 (label generation) and 4 (attention); resize and crop from PASS, step 2.2.
"""
