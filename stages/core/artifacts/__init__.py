"""The contracts: the five kinds of artifact through which stages meet, each with its reader and writer.

A stage can be replaced by anything, in any language, that writes the same files.
"""
