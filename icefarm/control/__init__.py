"""icefarm.control"""
