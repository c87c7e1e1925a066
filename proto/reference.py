#!/usr/bin/env python3
"""reference.py - docs/plan-reference.md from the schema itself

Names, types, defaults and comments come from the descriptor set that protoc writes at build time, ranges and words from
the rows of plan_rules.h and plan_words.h that the checks are made of. The descriptor set is read here by hand (it is a
protobuf message like any other): Python's protobuf need not be installed.

    reference.py DESCRIPTORS            prints the manual
    reference.py DESCRIPTORS FILE       TAP: is FILE that text?
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PATHS = {('Idx', 'dir'), ('Model', 'weights'), ('Model', 'onnx'), ('Trainer', 'default_root_dir'),
         ('ModelCheckpoint', 'dirpath'), ('Command', 'working_dir'), ('Command', 'env_from_file')}
FORMS = {'Duration': 'length of time', 'Size': 'amount of memory', 'CountOrAuto': 'whole number or `auto`',
         'BatchLimit': 'number or fraction of batches', 'CheckInterval': 'batches, fraction of the epoch, or time'}
NUMBERS = {1: 'number', 2: 'number', 3: 'whole number', 4: 'whole number, not negative', 5: 'whole number',
           13: 'whole number, not negative', 8: '`true` or `false`', 9: 'text', 12: 'bytes'}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """A message's records: {tag: [value, …]}; values are ints or bytes."""
    out, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at:at + size], at + size
        out.setdefault(key >> 3, []).append(value)
    return out


def text(message, tag):
    return message.get(tag, [b''])[0].decode()


def packed(data):
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return tuple(out)


class Schema:
    def __init__(self, data):
        self.messages, self.enums = {}, {}
        for raw in fields(data)[1]:
            self.add_file(fields(raw))

    def add_file(self, file):
        self.comments = {}
        for info in file.get(9, []):
            for location in fields(info).get(1, []):
                location = fields(location)
                words = text(location, 3) or text(location, 4)
                self.comments[packed(location.get(1, [b''])[0])] = ' '.join(words.split())
        prefix = '.' + text(file, 2)
        for i, raw in enumerate(file.get(4, [])):
            self.add_message(fields(raw), prefix, (4, i))
        for i, raw in enumerate(file.get(5, [])):
            self.add_enum(fields(raw), prefix, (5, i))

    def add_enum(self, enum, prefix, at):
        values = [text(fields(v), 1) for v in enum.get(2, [])]
        self.enums[prefix + '.' + text(enum, 1)] = values

    def add_message(self, message, prefix, at):
        name = text(message, 1)
        full = prefix + '.' + name
        members = []
        for i, raw in enumerate(message.get(2, [])):
            f = fields(raw)
            members.append({
                'name': text(f, 1), 'repeated': f.get(4, [1])[0] == 3, 'type': f[5][0], 'of': text(f, 6),
                'default': text(f, 7) if 7 in f else None, 'oneof': 9 in f, 'comment': self.comments.get(at + (2, i), ''),
            })
        self.messages[full] = {
            'name': name, 'fields': members, 'comment': self.comments.get(at, ''),
            'map': any(7 in fields(o) for o in message.get(7, [])),
        }
        for i, raw in enumerate(message.get(3, [])):
            self.add_message(fields(raw), full, at + (3, i))
        for i, raw in enumerate(message.get(4, [])):
            self.add_enum(fields(raw), full, at + (4, i))


def is_choice(message):
    return bool(message['fields']) and all(f['oneof'] for f in message['fields'])


def snake(name):
    return re.sub(r'(?<!^)([A-Z])', r'_\1', name).lower()


def read_rules():
    """{(message, field): [sentence, …]}, {(message, field)} that are needed."""
    ranges, needed = {}, set()
    row = re.compile(r'^(FROM_TO|ABOVE|BELOW|ITEMS|NEEDED)\((\w+), (\w+)(?:, (-?[\w.]+), (-?[\w.]+))?\)$')
    for line in (HERE / 'plan_rules.h').read_text().splitlines():
        m = row.match(line)
        if not m:
            continue
        kind, message, field, low, high = m.groups()
        if kind == 'NEEDED':
            needed.add((message, field))
            continue
        open_end = high == 'NO_LIMIT'
        words = {'FROM_TO': f'at least {low}' if open_end else f'{low} to {high}',
                 'ABOVE': f'above {low}' if open_end else f'above {low}, at most {high}',
                 'BELOW': f'at least {low}, below {high}',
                 'ITEMS': f'{low} items' if low == high else f'{low} to {high} items'}[kind]
        ranges.setdefault((message, field), []).append(words)
    return ranges, needed


def read_words():
    """{(message, field): ([accepted, …], [refused, …], {other: [the same, …]})}"""
    out = {}
    row = re.compile(r'^(WORD|SAME|REFUSED)\((\w+), (\w+), "([^"]+)"(?:, "([^"]+)")?')
    for line in (HERE / 'plan_words.h').read_text().splitlines():
        m = row.match(line)
        if m:
            kind, message, field, word, other = m.groups()
            accepted, refused, same = out.setdefault((message, field), ([], [], {}))
            (same.setdefault(other, []) if kind == 'SAME' else refused if kind == 'REFUSED' else accepted).append(word)
    return out


class Manual:
    def __init__(self, schema):
        self.schema = schema
        self.ranges, self.needed = read_rules()
        self.words = read_words()
        self.order, self.lines = [], []

    def reach(self, full):
        if full in self.order or full not in self.schema.messages:
            return
        message = self.schema.messages[full]
        if not message['map']:
            self.order.append(full)
        for f in message['fields']:
            if f['type'] == 11:
                self.reach(f['of'])

    def enum_words(self, full):
        values = self.schema.enums[full]
        words = [{'on': 'true', 'off': 'false'}.get(v.lower(), v.lower()) for v in values]
        return ', '.join(f'`{w}`' for w in words)

    def type_words(self, f):
        if f['type'] == 11:
            message = self.schema.messages[f['of']]
            if message['map']:
                value = message['fields'][1]
                return 'map of names to ' + ('texts' if value['type'] == 9 else self.type_words(value))
            words = f"[{FORMS.get(message['name'], snake(message['name']))}](#{snake(message['name'])})"
        elif f['type'] == 14:
            words = self.enum_words(f['of'])
        else:
            words = NUMBERS[f['type']]
        return 'list of ' + words if f['repeated'] else words

    def default_words(self, message, f):
        if (message['name'], f['name']) in self.needed:
            return 'needed'
        if f['default'] is None:
            return '–'
        default = f['default'].lower() if f['type'] == 14 else f['default']
        return f'`{default}`' if default else '`""`'

    def meaning(self, message, f):
        key = (message['name'], f['name'])
        parts = [f['comment']] if f['comment'] else []
        if key in self.ranges:
            sentence = '; '.join(self.ranges[key])
            parts.append(sentence[0].upper() + sentence[1:] + '.')
        if key in self.words:
            accepted, refused, same = self.words[key]
            parts.append('One of ' + ', '.join(f'`{w}`' for w in accepted) + '.')
            for other, names in same.items():
                parts.append(f'The same as `{other}`: ' + ', '.join(f'`{w}`' for w in names) + '.')
            parts.append('Known, but refused by this version: ' +
                         ', '.join(f'`{w}`' for w in refused) + '.')
        if key in PATHS:
            parts.append('A relative path starts at the plan file.')
        return ' '.join(parts).replace('|', '\\|')

    def write_choice(self, message):
        self.lines.append('One of:\n')
        for f in message['fields']:
            of = self.schema.messages.get(f['of'], {})
            comment = f['comment'] or of.get('comment', '')
            if f['type'] == 11 and of['fields']:
                name = f"[`{f['name']}`](#{snake(of['name'])})"
            else:
                name = f"`{f['name']}`" + ('' if f['type'] == 11 else f' ({self.type_words(f)})')
            self.lines.append(f'- {name}{": " + comment if comment else ""}')

    def write_table(self, message):
        self.lines.append('| field | type | default | |\n|---|---|---|---|')
        for f in message['fields']:
            self.lines.append(f"| `{f['name']}` | {self.type_words(f)} | {self.default_words(message, f)} | "
                              f"{self.meaning(message, f)} |")

    def write(self, full):
        message = self.schema.messages[full]
        if not message['fields']:
            return
        self.lines.append(f"\n## {snake(message['name'])}\n")
        if message['name'] in FORMS:
            self.lines.append(message['comment'])
            return
        if message['comment']:
            self.lines.append(message['comment'] + '\n')
        if is_choice(message):
            self.write_choice(message)
        else:
            self.write_table(message)

    def run(self):
        self.lines.append(INTRO)
        self.reach('.lt.v1.TrainingPlan')
        self.reach('.lt.v1.Evaluation')
        self.reach('.lt.v1.Command')
        for full in self.order:
            self.write(full)
        return '\n'.join(self.lines) + '\n'


INTRO = """# Plan reference

Every field of a plan file, made from the schema (`proto/lt/v1/plan.proto`) and the tables of its checks by
`proto/reference.py`; a test compares. To make it anew: `proto/reference.py build/proto/descriptors.bin > docs/plan-reference.md`.

A plan is YAML or JSON. A file without `kind:` is a [training_plan](#training_plan); `kind: evaluation` and `kind: command` name
the others. Where one of several things is meant, write its name alone (`relu`, `loss: cross_entropy`) or a map with that one key
(`linear: {out_features: 10}`). A default of – means that leaving the field out says something of its own, told in its
description. Unknown fields are errors, and so is everything that can't be done as written.

- A *length of time* is `90s`, `2h`, `1.5m`, `500ms`, `MM:SS`, `HH:MM:SS`, `DD:HH:MM:SS` or a number of seconds.
- An *amount of memory* is `4GiB`, `512MB` or a number of bytes.
- *Batches*: a whole number counts them (`1` is one batch), a decimal is a fraction of them (`1.0` is all).
- A text needs quotes where YAML would read something else: `"12:00:00"`, `"{epoch}"`. A list of numbers may be one number.
- Any field can be changed on the command line: `--set trainer.max_epochs=3 --set callbacks[0].model_checkpoint.save_top_k=1`."""


def main():
    data = pathlib.Path(sys.argv[1]).read_bytes()
    manual = Manual(Schema(data)).run()
    if len(sys.argv) < 3:
        sys.stdout.write(manual)
        return
    path = pathlib.Path(sys.argv[2])
    same = path.exists() and path.read_text() == manual
    print('1..1')
    print(('ok' if same else 'not ok') + f' 1 - {path.name} is what the schema says')
    if not same:
        print('# remake it: proto/reference.py build/proto/descriptors.bin > docs/plan-reference.md')


main()
