"""Configs, the sections of params.yaml, that several stages or methods share.

Nothing in here loads torch, numba, OpenCV or pyarrow, so that checking a params file takes no longer than reading it.
What a config describes is built elsewhere, by the module that its method names.
"""
