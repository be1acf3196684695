"""icefarm.farm"""
