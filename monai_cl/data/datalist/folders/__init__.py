"""Folders of data sets as they are published: names of files, descriptions, one mask file per organ."""
