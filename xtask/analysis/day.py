"""day.py FOLDER CAPTURES OBJECTS: the calls of capture.jsonl as objects of a day in SageMaker's layout, so many an hour."""

import os
import sys
import uuid

folder, captures, objects = sys.argv[1], sys.argv[2], int(sys.argv[3])
MARK = b'"inferenceTime":"'
out, last = None, None
with open(captures, "rb") as lines:
    for line in lines:
        at = line.rindex(MARK) + len(MARK)
        day, hour, minute = line[at : at + 10].decode(), line[at + 11 : at + 13].decode(), int(line[at + 14 : at + 16])
        part = minute * objects // 60
        if (hour, part) != last:
            last = hour, part
            place = f"{folder}/bench/AllTraffic/{day.replace('-', '/')}/{hour}"
            os.makedirs(place, exist_ok=True)
            name = uuid.uuid5(uuid.NAMESPACE_OID, f"{day} {hour} {part}")
            name = name.hex[:12] + "4" + name.hex[13:]
            if out:
                out.close()
            out = open(f"{place}/{part * 60 // objects:02}-00-000-{uuid.UUID(name)}.jsonl", "wb")
        out.write(line)
