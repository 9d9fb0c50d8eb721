"""Implicit feedback: logged rankings joined with events; click models, judgments, off-policy
estimates.
"""
