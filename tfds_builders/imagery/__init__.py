"""Reads image files: PNG, JPEG and GeoTIFF into values, a mask and a header. Knows nothing of datasets.

``read`` decodes a file; ``header`` does not; ``opened`` gives the header first and decodes on request, as a whole or
some rows; so does ``opened_scene``, of any raster that GDAL opens.
"""

from tfds_builders.imagery.formats import SUFFIXES as SUFFIXES
from tfds_builders.imagery.header import Band as Band
from tfds_builders.imagery.header import Header as Header
from tfds_builders.imagery.raster import Opened as Opened
from tfds_builders.imagery.raster import Raster as Raster
from tfds_builders.imagery.reader import UNREADABLE as UNREADABLE
from tfds_builders.imagery.reader import header as header
from tfds_builders.imagery.reader import opened as opened
from tfds_builders.imagery.reader import opened_scene as opened_scene
from tfds_builders.imagery.reader import read as read
