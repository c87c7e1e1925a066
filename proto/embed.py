#!/usr/bin/env python3
"""A file's bytes as a C array: embed.py IN OUT NAME."""
import sys

data = open(sys.argv[1], 'rb').read()
name = sys.argv[3]
with open(sys.argv[2], 'w') as out:
    out.write(f'static const unsigned char {name}[{len(data)}] = {{\n')
    for i in range(0, len(data), 20):
        out.write('    ' + ','.join(str(b) for b in data[i:i + 20]) + ',\n')
    out.write('};\n')
