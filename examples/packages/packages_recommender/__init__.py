"""Recommends libraries to a Debian package, learnt from what 60,000 other packages depend on.

Data flows one way: `index` (apt's files -> one data file) -> `dataset` (records -> matrix) -> `training`
(matrix -> model and metrics) -> `model` (what is stored, loaded and asked) -> `server` (HTTP).
`storage` is the only module that reads or writes artifacts, `__main__` the only one that reads the environment.
"""
