"""Masks beside truth: what is counted of a scene, its picture, and the tables of many. No Luigi."""
