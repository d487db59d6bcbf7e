"""Reads image files: PNG, JPEG and GeoTIFF into values, a mask and a header. Knows nothing of datasets.

``read`` decodes a file, or a ``Tile`` of one; ``header`` does not; ``opened`` gives the header first and decodes on
request, as a whole or in part; so does ``opened_scene``, of any raster that GDAL opens.
"""

from tfds_builders.imagery.formats import SUFFIXES as SUFFIXES
from tfds_builders.imagery.header import Band as Band
from tfds_builders.imagery.header import Header as Header
from tfds_builders.imagery.raster import Opened as Opened
from tfds_builders.imagery.raster import Raster as Raster
from tfds_builders.imagery.reader import UNREADABLE as UNREADABLE
from tfds_builders.imagery.reader import close_tiled as close_tiled
from tfds_builders.imagery.reader import header as header
from tfds_builders.imagery.reader import opened as opened
from tfds_builders.imagery.reader import opened_scene as opened_scene
from tfds_builders.imagery.reader import read as read
from tfds_builders.imagery.tile import Source as Source
from tfds_builders.imagery.tile import Tile as Tile
from tfds_builders.imagery.tile import Window as Window
from tfds_builders.imagery.tile import file_of as file_of
