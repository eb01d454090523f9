"""The way to Kaggle and back: fetch the data, package networks and notebook, predict inside a notebook, submit.

:mod:`~severstal.kaggle.client` signs in and explains errors; :mod:`~severstal.kaggle.download` fetches the data;
:mod:`~severstal.kaggle.package` writes what is uploaded; :mod:`~severstal.kaggle.code_submission` uploads it and waits
for the score; :mod:`~severstal.kaggle.notebook_run` predicts inside the notebook.
"""
