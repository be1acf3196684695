"""icefarm.virtual"""
