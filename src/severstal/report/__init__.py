"""The report of a run: one HTML page and its numbers as JSON.

:mod:`~severstal.report.sources` reads the run's files and checks that they belong together;
:mod:`~severstal.report.evaluation` compares every predicted training mask with the truth;
:mod:`~severstal.report.facts` collects all numbers in one structure that JSON can hold;
:mod:`~severstal.report.gallery` chooses strips and encodes their pictures; :mod:`~severstal.report.charts` draws;
:mod:`~severstal.report.page` renders the HTML.
"""
