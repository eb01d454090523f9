"""Synthetic steel: a small data set in the competition's form for machines without Kaggle's files.

* ``dataset`` writes the files, ``plan`` chooses the classes of each strip, ``strip`` draws one;
* ``surface`` draws the steel, ``placement`` and ``defects`` the defects, ``polygons`` the labeller's masks;
* ``noise`` and ``flakes`` are building blocks.
"""
