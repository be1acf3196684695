"""icefarm.worker"""
