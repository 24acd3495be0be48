#!/usr/bin/env python3
"""Write tests/golden/tables: small Parquet files and what pyarrow reads of them.

    python scripts/goldens_tables.py            # write tests/golden/tables
    python scripts/goldens_tables.py --check    # read the files again and compare, write nothing

values.json holds, for each file, its rows as JSON: decimals, dates and times as text, bytes decoded,
maps as objects, NaN as null, a 32-bit float as the shortest decimal that is this number.
"""

import argparse
import datetime as dt
import decimal
import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "tables"
CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
MOMENT = dt.datetime(2024, 2, 29, 3, 4, 5, 678912)


def sentences() -> pa.Table:
    text = ["the cat sat", "a dog ran", "the cat sat on the mat and the cat sat", ""] * 3
    return pa.table({"text": text, "label": pa.array([0, 1, 0, 1] * 3, pa.int64())})


def types() -> pa.Table:
    """A column of each type, three rows: plain, at an end of the range or odd, null."""
    utc = dt.timezone.utc
    short, wide = decimal.Decimal("12.30"), decimal.Decimal("-0." + "1" * 40)
    moment = MOMENT.replace(microsecond=0)
    columns = {
        "string": (["Größe", "", None], pa.string()),
        "large_string": (["a", "b\nc", None], pa.large_string()),
        "string_view": (["a", "longer than twelve bytes", None], pa.string_view()),
        "binary": (["é".encode(), b"", None], pa.binary()),
        "large_binary": ([b"a", b"b", None], pa.large_binary()),
        "fixed_binary": ([b"ab", b"cd", None], pa.binary(2)),
        "dictionary": (["pos", "neg", None], pa.dictionary(pa.int8(), pa.string())),
        "dictionary_int": ([7, -7, None], pa.dictionary(pa.int32(), pa.int64())),
        "bool": ([True, False, None], pa.bool_()),
        "int8": ([1, -128, None], pa.int8()),
        "int16": ([1, -32768, None], pa.int16()),
        "int32": ([1, -(2**31), None], pa.int32()),
        "int64": ([1, -(2**63), None], pa.int64()),
        "uint8": ([1, 255, None], pa.uint8()),
        "uint16": ([1, 65535, None], pa.uint16()),
        "uint32": ([1, 2**32 - 1, None], pa.uint32()),
        "uint64": ([1, 2**64 - 1, None], pa.uint64()),
        "half": (np.array([0.1, -65504, np.nan], np.float16), pa.float16()),
        "float": ([0.1, math.nan, None], pa.float32()),
        "double": ([0.1, math.inf, None], pa.float64()),
        "decimal": ([short, -short, None], pa.decimal128(5, 2)),
        "decimal256": ([wide, wide, None], pa.decimal256(76, 40)),
        "date": ([MOMENT.date(), dt.date(1969, 12, 31), None], pa.date32()),
        "date64": ([MOMENT.date(), dt.date(1969, 12, 31), None], pa.date64()),
        "time_ms": ([dt.time(1, 2, 3, 4000), dt.time(0), None], pa.time32("ms")),
        "time_us": ([dt.time(1, 2, 3, 4005), dt.time(23, 59, 59), None], pa.time64("us")),
        "stamp_s": ([moment, dt.datetime(1900, 1, 1), None], pa.timestamp("s")),
        "stamp_ms": ([MOMENT.replace(microsecond=678000), moment, None], pa.timestamp("ms")),
        "stamp_us": ([MOMENT, moment, None], pa.timestamp("us")),
        "stamp_utc": ([MOMENT.replace(tzinfo=utc), moment.replace(tzinfo=utc), None], pa.timestamp("us", "UTC")),
        "nothing": ([None, None, None], pa.null()),
        "list": ([["a", None], [], None], pa.list_(pa.string())),
        "large_list": ([[1, 2], [], None], pa.large_list(pa.int64())),
        "fixed_list": ([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2)),
        "struct": ([{"a": 1, "b": "x"}, {"a": None, "b": "y"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "nested": ([[{"t": ["x", "y"]}], [], None], pa.list_(pa.struct([("t", pa.list_(pa.string()))]))),
        "map": ([[("k", 1), ("l", None)], [], None], pa.map_(pa.string(), pa.int64())),
        "map_int": ([[(3, "x")], [], None], pa.map_(pa.int64(), pa.string())),
        "dots.in.name": (["a", "b", None], pa.string()),
    }
    return pa.table({name: pa.array(values, type) for name, (values, type) in columns.items()})


def digits(type: pa.DataType) -> str:
    return {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}[type.unit]


def plain(value, type: pa.DataType):
    """A value that pyarrow read, as JSON."""
    if value is None:
        return None
    if pa.types.is_dictionary(type):
        return plain(value, type.value_type)
    if pa.types.is_map(type):
        return {str(key): plain(item, type.item_type) for key, item in value}
    if pa.types.is_struct(type):
        return {field.name: plain(value[field.name], field.type) for field in type}
    if isinstance(value, list):
        return [plain(item, type.value_type) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        odd = digits(type) if value.microsecond else "seconds"
        return value.isoformat(timespec=odd).replace("+00:00", "Z")
    if isinstance(value, dt.time):
        return value.isoformat(timespec=digits(type) if value.microsecond else "seconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(str(np.float32(value))) if pa.types.is_float32(type) else value
    return value


def rows(path: Path) -> list:
    table = pq.ParquetFile(path).read()
    columns = [[plain(value.as_py(), column.type) for value in column] for column in table.columns]
    return [dict(zip(table.column_names, row)) for row in zip(*columns)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    values = GOLDEN / "values.json"
    if not check:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        for codec in CODECS:
            pq.write_table(sentences(), GOLDEN / f"{codec}.parquet", compression=codec)
        pq.write_table(types(), GOLDEN / "types.parquet", compression="zstd")
        twins = pa.table([["the cat"], [0], [1]], names=["text", "label", "label"])
        pq.write_table(twins, GOLDEN / "twins.parquet")
    names = [f"{codec}.parquet" for codec in CODECS] + ["types.parquet"]
    found = {name: rows(GOLDEN / name) for name in names}
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"
    if not check:
        values.write_text(text)
    elif values.read_text() != text:
        print("values.json is not what pyarrow reads", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
