"""The slow loop: from the feature log and its labels to the model that decides.

Imports `features` and `schemas`, never `scoring`: what it hands over lies in the registry.
"""
