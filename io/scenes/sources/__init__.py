"""Services that have scenes: what files a product has there, and where.

Usage: `product = source.find("LC08_L1TP_195025_20130707_20200912_02_T1")`

Nothing is downloaded here but listings: bytes are `scenes.fetch`'s.
"""
