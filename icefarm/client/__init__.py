"""icefarm.client"""
