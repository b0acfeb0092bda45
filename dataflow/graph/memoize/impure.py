"""Names whose answer doesn't follow from their arguments alone: chance, clocks, files, the process, the network.

The tables name what gives another answer each time (chance, clocks, identities), what reads or changes the
outside world (files, network, environment, processes) and what varies by process (``hash``, ``id``).
"""

from __future__ import annotations

import datetime
import functools
import types
from typing import Any

__all__ = [
    "ALLOWED",
    "CLOCK_TEXTS",
    "DENIED",
    "DENIED_METHODS",
    "FIXED",
    "denied",
    "denied_attribute",
    "denied_below",
    "denied_value",
    "is_fixed",
    "is_plain",
    "is_text_clock",
    "is_zoned",
    "makes_times",
    "mutates",
    "mutates_first",
    "needs_zone",
    "says_now",
]  # fmt: skip

_CHANCE = """
random _random secrets uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7 uuid.uuid8 uuid.getnode time numpy.random
scipy.stats.qmc dask.array.random dask.bag.random datetime.datetime.now datetime.datetime.utcnow
datetime.datetime.today datetime.date.today pandas.Timestamp.now pandas.Timestamp.utcnow
pandas.Timestamp.today builtins.hash builtins.id logging.makeLogRecord logging.LogRecord
email.mime.multipart email.generator email.message.MIMEPart.add_attachment email.message.MIMEPart.add_related
email.message.MIMEPart.add_alternative email.utils.make_msgid email.utils.formatdate email.utils.localtime
email.utils.mktime_tz gzip.compress
dateutil.tz.tzlocal dateutil.tz.tz.tzlocal tzlocal statistics.NormalDist.samples
reportlab fpdf faker mimesis shortuuid nanoid ulid
"""
_PROCESS = """
os posix nt sys.argv sys.stdin sys._getframe sys.modules sys.path sys.getrefcount getpass platform subprocess
_posixsubprocess multiprocessing signal resource psutil pwd grp locale gc tracemalloc pty webbrowser ctypes
inspect.stack inspect.currentframe threading.get_ident threading.get_native_id threading.current_thread
threading.local _thread._local _thread.get_ident distributed dask.config builtins.input
contextvars.ContextVar _contextvars.ContextVar contextvars.copy_context _contextvars.copy_context
decimal.getcontext decimal.setcontext _decimal.getcontext _decimal.setcontext numpy.geterr numpy.seterr
pandas.get_option pandas.set_option pandas.options
"""
_FILES = """
builtins.open io.open io.open_code io.FileIO _io _pyio posixpath ntpath genericpath tempfile shutil glob
fileinput filecmp mmap linecache fcntl netrc dbm shelve pathlib.Path.cwd pathlib.Path.home
gzip.open gzip.GzipFile bz2.open bz2.BZ2File lzma.open lzma.LZMAFile codecs.open zipfile tarfile sqlite3 _sqlite3
duckdb fsspec s3fs gcsfs adlfs zarr h5py tiledb partd pkgutil.get_data
xml.etree.ElementTree.parse xml.etree.ElementTree.iterparse xml.etree.cElementTree xml.dom.minidom.parse
xml.sax.parse lxml.etree.parse lxml.etree.iterparse lxml.html.parse PIL.Image.open imageio cv2.imread cv2.imwrite
xml.etree.ElementTree.ElementTree xml.dom.expatbuilder.parse xml.dom.pulldom.parse lxml.etree.ElementTree
lxml.etree._ElementTree.parse lxml.objectify.parse lxml.html.soupparser.parse lxml.html.html5parser.parse
configparser tokenize.open mailbox wave.open mimetypes logging.FileHandler logging.handlers logging.basicConfig
logging.config jinja2.FileSystemLoader jinja2.PackageLoader jinja2.loaders
"""
# They take a path as well as bytes, and which it is isn't known until the code runs.
_PARSERS = """
pypdfium2.PdfDocument pypdfium2._helpers.document.PdfDocument pypdf.PdfReader pypdf._reader.PdfReader fitz pymupdf
pdfplumber.open pdfplumber.pdf.PDF.open pikepdf.open pikepdf.Pdf.open pdfminer.high_level docx.Document docx.api
pptx.Presentation pptx.api openpyxl.load_workbook openpyxl.reader xlrd.open_workbook ebooklib.epub.read_epub
PIL.ImageFont.truetype zstandard.open lz4.frame.open dotenv
soundfile librosa rasterio netCDF4 xarray.open_dataset scipy.io skimage.io torch.load torch.save joblib.load
joblib.dump pyarrow.ipc.open_file pyarrow.ipc.open_stream pyarrow.ipc.RecordBatchFileReader
pyarrow.ipc.RecordBatchStreamReader charset_normalizer.from_path charset_normalizer.api.from_path
magic.from_file filetype
"""
_NETWORK = """
socket _socket socketserver ssl _ssl select selectors urllib.request urllib.robotparser urllib3 http.client
http.server ftplib smtplib poplib imaplib nntplib telnetlib xmlrpc requests httpx aiohttp websockets websocket
paramiko grpc boto3 botocore aiobotocore redis valkey pymongo psycopg psycopg2 pymysql sqlalchemy asyncio.subprocess
"""
# What speaks to models, stores and queues elsewhere.
_SERVICES = """
openai anthropic cohere mistralai ollama litellm groq together replicate google.genai google.generativeai google.cloud
vertexai huggingface_hub voyageai tika azure minio elasticsearch opensearchpy qdrant_client chromadb pinecone weaviate
lancedb pymilvus neo4j cassandra kafka confluent_kafka aiokafka pika celery motor asyncpg aiomysql aiosqlite mysql
MySQLdb oracledb cx_Oracle pyodbc pymssql snowflake clickhouse_connect clickhouse_driver trino influxdb_client
elastic_transport pysftp asyncssh smart_open dns whois
"""
_TABLES = """
numpy.load numpy.fromfile numpy.loadtxt numpy.genfromtxt numpy.fromregex numpy.memmap numpy.save numpy.savetxt
numpy.savez numpy.savez_compressed numpy.DataSource numpy.lib.format.open_memmap numpy.lib.format.read_array
numpy.lib.format.write_array numpy.lib.npyio numpy.lib._npyio_impl numpy.rec.fromfile numpy.lib._datasource
pandas.ExcelFile pandas.ExcelWriter pandas.HDFStore pandas.io.parsers pandas.io.parquet pandas.io.sql
pandas.io.pickle pandas.io.excel pandas.io.feather_format pandas.io.orc pandas.io.html pandas.io.xml
pandas.io.pytables pandas.io.stata pandas.io.sas pandas.io.spss pandas.io.clipboards pandas.io.common
pyarrow.parquet pyarrow.dataset pyarrow.fs pyarrow.csv pyarrow.feather pyarrow.json pyarrow.orc pyarrow.flight
pyarrow._parquet pyarrow._dataset pyarrow._fs pyarrow._csv pyarrow._feather pyarrow._json pyarrow._orc
pyarrow._flight pyarrow._s3fs pyarrow._hdfs pyarrow._gcsfs
"""
# In any module of the package, whatever it is defined in.
_ARROW = """
memory_map create_memory_map OSFile MemoryMappedFile input_stream output_stream FileSystem LocalFileSystem
"""
# Tasks of Dask's own that read, write, warn, or hand data on past the graph.
_DASK = """
dask.bytes dask.dataframe.io dask.dataframe.dask_expr.io dask.bag.text dask.bag.avro
dask.array.core.store_chunk dask.array.core.load_chunk dask.array.core.load_store_chunk
dask.bag.core.partition dask.bag.core.collect dask.bag.core.safe_take dask.bag.core._to_textfiles_chunk
dask.dataframe.shuffle dask.dataframe.dask_expr._shuffle._shuffle_transfer
"""
_UNSEEN = """
builtins.eval builtins.exec builtins.globals builtins.locals builtins.vars builtins.__import__ importlib
runpy pkgutil
"""
_PATHS = """
join split basename dirname splitext splitdrive splitroot normpath normcase isabs commonprefix commonpath
sep altsep extsep pathsep pardir curdir
"""
_HARMLESS = """
time.sleep time.strptime time.struct_time os.fspath os.fsencode os.fsdecode os.PathLike os.sep os.altsep
os.linesep os.extsep os.pathsep os.pardir os.curdir posix.fspath nt.fspath
_io.BytesIO _io.StringIO _io.TextIOWrapper _io.BufferedReader pyarrow.fs.FileType
dask.dataframe.dask_expr.io.io.FromPandas dask.dataframe.io.utils dask.dataframe.io.io._df_to_bag
"""
# Methods of objects that aren't known until the code runs.
_METHODS = """
read_text read_bytes write_text write_bytes iterdir urandom urlopen urlretrieve tofile to_csv to_parquet to_sql
to_pickle to_feather to_excel to_hdf to_orc to_stata to_clipboard to_gbq
write_csv write_parquet write_json write_ndjson write_excel write_ipc write_avro write_database write_delta
savefig unlink mkdir rmdir touch open stat lstat exists
is_file is_dir is_symlink is_mount samefile glob rglob resolve absolute expanduser readlink symlink_to hardlink_to
chmod sample shuffle now utcnow today getsize getmtime
update_mmap
"""
# Without a place they give the text.
_PLACED = "save to_html to_json to_latex to_markdown to_string to_xml"
_TEXT_CLOCKS_NAMES = """
numpy.datetime64 numpy.array numpy.asarray numpy.full pandas.Timestamp pandas.to_datetime pandas.DatetimeIndex
pandas.Period pandas.date_range pandas.period_range pandas.bdate_range
"""
_WRITERS_NAMES = """
append extend add update pop insert remove clear sort reverse setdefault popitem discard appendleft
extendleft popleft rotate subtract intersection_update difference_update symmetric_difference_update
move_to_end put put_nowait fill resize itemset setflags byteswap write writelines writestr seek truncate
send __setitem__ __delitem__ __setattr__ __delattr__ __iadd__ __ior__
"""
_OF_ARRAYS_NAMES = """
fill sort put resize itemset setflags partition setfield __setitem__ __iadd__
"""
_FIRST_NAMES = """
builtins.setattr builtins.delattr builtins.next _operator.setitem _operator.delitem _operator.iadd
_operator.iconcat _operator.isub _operator.imul _operator.ior _operator.iand _operator.ixor _heapq.heappush
_heapq.heappop _heapq.heapify _heapq.heapreplace _heapq.heappushpop _bisect.insort _bisect.insort_left
_bisect.insort_right numpy.copyto numpy.put numpy.place numpy.putmask numpy.fill_diagonal numpy.put_along_axis
"""
DENIED = frozenset(
    (_CHANCE + _PROCESS + _FILES + _PARSERS + _NETWORK + _SERVICES + _TABLES + _DASK + _UNSEEN).split()
) | frozenset(f"pyarrow.{module}{name}" for module in ("", "lib.") for name in _ARROW.split())
"""Dotted names; whatever is inside of them is denied too."""
ALLOWED = frozenset(_HARMLESS.split()) | frozenset(
    f"{module}.{name}"
    for module in ("os.path", "posixpath", "ntpath", "genericpath")
    for name in _PATHS.split()
)
"""What of these changes nothing."""
DENIED_METHODS = frozenset(_METHODS.split())
"""Methods that read, write or tell the time, of whatever object."""
WRITING_METHODS = frozenset(_PLACED.split())
"""Methods that write where they are given a place, which is their first argument or one of ``PLACES``."""
PLACES = frozenset({"buf", "fp", "file", "filename", "path", "path_or_buf", "path_or_buffer"})
FILES = PLACES - {"path"}
"""Of these whatever is installed makes a file's content, or an open file."""
_READERS = ("pandas.read_", "dask.dataframe.read_", "polars.read_", "polars.scan_", "geopandas.read_")
# Of their text "now" or "today" they make the time of day.
_TEXT_CLOCKS = frozenset(_TEXT_CLOCKS_NAMES.split())
# They do so of a text alone; the others where a type says so, which is a text that begins like these.
_TIMES = _TEXT_CLOCKS - {"numpy.array", "numpy.asarray", "numpy.full"}
_TIME_TYPES = ("datetime64", "M8", "<M8", ">M8", "=M8")
# By how many arguments they have a zone; with fewer they take the machine's.
_ZONED = {"fromtimestamp": 2, "astimezone": 1}
_OF_CLASSES = (types.BuiltinFunctionType, types.ClassMethodDescriptorType, types.MethodDescriptorType)
_WRITERS = frozenset(_WRITERS_NAMES.split())
# By the package that a known object is of: what is called ``add`` there gives something new.
_OF_TABLES = frozenset({"update", "pop", "insert", "__setitem__", "__delitem__", "__setattr__"})
_OF_ARRAYS = frozenset(_OF_ARRAYS_NAMES.split())
_FIRST = frozenset(_FIRST_NAMES.split())
CLOCK_TEXTS = frozenset({"now", "today"})
FIXED = (str, bytes, int, float, complex, tuple, frozenset, type(None), range, datetime.date, datetime.timedelta,
          datetime.time, types.FunctionType, types.BuiltinFunctionType, types.MappingProxyType)  # fmt: skip
_PLAIN_MODULES = ("builtins", "types", "functools", "collections", "abc", "typing")


def is_plain(called: Any) -> bool:
    """Whether it is a function or a class of the language itself, to which a name says nothing: ``dict(file=x)``."""
    return getattr(called, "__module__", None) in _PLAIN_MODULES


@functools.lru_cache(maxsize=8192)
def denied(dotted: str) -> str | None:
    """The reason to refuse a dotted name; ``None`` if there is none."""
    parts = dotted.split(".")
    prefixes = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    if (prefixes & DENIED or dotted.startswith(_READERS)) and not prefixes & ALLOWED:
        return f"it reaches {dotted}, whose answer may differ each time or comes from outside"
    return None


@functools.lru_cache(maxsize=1024)
def denied_below(dotted: str) -> bool:
    """Whether a name of a module or a class is denied, or anything in it."""
    inside = dotted + "."
    return denied(dotted) is not None or any(name.startswith(inside) for name in (*DENIED, *_READERS))


def denied_value(value: Any) -> str | None:
    """The reason to refuse a value for what it is: by its name, its method's, its class's, or its classes'."""
    if isinstance(value, types.ModuleType):
        return denied(value.__name__)
    kind = type(value)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str) or not callable(value):
        if hasattr(kind, "__next__"):
            return f"it reaches a {kind.__qualname__}, which moves on each time it is asked"
        return _of_classes(kind)
    module, own = getattr(value, "__module__", None), getattr(value, "__self__", None)
    last = name.rpartition(".")[2]
    reason = denied(f"{module if isinstance(module, str) else _home(own)}.{name}")
    if reason is None and own is not None and not isinstance(own, types.ModuleType):
        reason = _of_classes(own if isinstance(own, type) else type(own), last)
    owner = getattr(value, "__objclass__", None)
    if reason is None and isinstance(owner, type):
        reason = _of_classes(owner, last)
    return reason


def _home(owner: object) -> str:
    if owner is None:
        return "builtins"
    return owner.__name__ if isinstance(owner, types.ModuleType) else type(owner).__module__


def _of_classes(kind: type, name: str = "") -> str | None:
    for base in kind.__mro__:
        if base.__module__ in _PLAIN_MODULES:
            continue
        reason = denied(f"{base.__module__}.{base.__qualname__}" + (f".{name}" if name else ""))
        if reason:
            return reason
    return None


def denied_attribute(owner: Any, name: str) -> str | None:
    """The reason to refuse what is taken of a module, a class or an object by this name."""
    if isinstance(owner, types.ModuleType):
        return denied(f"{owner.__name__}.{name}")
    return _of_classes(owner if isinstance(owner, type) else type(owner), name)


def is_text_clock(value: Any) -> bool:
    """Whether a callable takes the text "now" for the time of day."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}" in _TEXT_CLOCKS


def makes_times(value: Any) -> bool:
    """Whether a value makes times of texts wherever it is called, or is the name of a type that does."""
    if isinstance(value, str):
        return value.startswith(_TIME_TYPES)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}" in _TIMES


def says_now(value: Any) -> bool:
    """Whether a text that clocks take for the time of day is among plain data, or in an array or a frame."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if one.lower() in CLOCK_TEXTS:
                return True
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif type(one).__module__.partition(".")[0] in ("numpy", "pandas"):
            waiting += _texts_of(one)
    return False


def _texts_of(table: Any) -> list[Any]:
    """The texts in an array, a series or a frame."""
    if getattr(table, "ndim", 1) == 2 and hasattr(table, "items"):
        return [text for _, column in table.items() for text in _texts_of(column)]
    # Numbers and times have none; pandas calls its own types of texts and categories by other letters.
    if getattr(getattr(table, "dtype", None), "kind", "O") not in "OUTS" or not hasattr(table, "tolist"):
        return []
    values = table.tolist()
    return values if isinstance(values, list) else [values]


def needs_zone(name: str, owner: Any) -> int:
    """How many arguments a method needs so as not to take the machine's time zone; 0 for those that never do."""
    return _ZONED.get(name, 0) + (name == "astimezone" and isinstance(owner, type))


def is_zoned(value: Any) -> bool:
    """Whether a value is a class's method that takes the machine's time zone unless it is given one."""
    owner = getattr(value, "__objclass__", getattr(value, "__self__", None))
    of_class = isinstance(value, _OF_CLASSES) and isinstance(owner, type)
    return of_class and str(getattr(value, "__name__", "")) in _ZONED


def mutates(owner: Any, name: str) -> bool:
    """Whether a method of this name changes the object. ``owner`` is an ellipsis where it isn't known."""
    package = type(owner).__module__.partition(".")[0]
    if isinstance(owner, (*FIXED, types.ModuleType, type)):
        return False
    if package in ("pandas", "pyarrow", "polars"):
        return name in _OF_TABLES and not type(owner).__name__.endswith("Index")
    if package == "numpy":
        return name in _OF_ARRAYS
    return name in _WRITERS


def is_fixed(value: Any) -> bool:
    """Whether nothing can be written to a value."""
    return isinstance(value, FIXED) and not isinstance(value, types.FunctionType)


def mutates_first(value: Any) -> bool:
    """Whether a function changes its first argument: ``setattr``, ``heappush``, ``list.append``."""
    module, name = getattr(value, "__module__", None), str(getattr(value, "__qualname__", ""))
    if isinstance(getattr(value, "__objclass__", None), type):
        return name.rpartition(".")[2] in _WRITERS and not issubclass(value.__objclass__, FIXED)
    return f"{module if isinstance(module, str) else 'builtins'}.{name}" in _FIRST
