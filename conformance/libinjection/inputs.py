"""Texts that SQL and HTML tokenizers read in many ways, the same ones for the same seed."""

from pathlib import Path

TABLES = Path("crates/waf/src/detect/sql")
CORPUS = Path("fuzz/corpus/detect")

SQL = """' '' \\' " \\" ` `` ( ) (( )) , ; ;; : :: := . .. ? [ ] [a] { } {` {`` \\ \\N @ @@ @a @@b @`c` @'d' $ $$ $1 $1.5,0
$a$ $a$b$a$ $$x$$ $. # -- --- --x -- /* */ /**/ /*!*/ /*/**/ /*! /*/*/ - + * / % ! ~ !! !< != <=> <= >= <> << >> <@ @> ^ ^= | ||
|= |/ & && &= ~* += -= *= /= %= = == 0 1 1.5 .5 5. 1e5 1e 1e+ 1E-3 1.e 0x 0x1F 0xg 0b 0b01 0b2 1f 1d 1fu 1f; 1du 00 123
1234567890123456789012345678901234567890 b'01' b'2' b' x'1F' x'g' x' X'' n'a' N'b e'a\\'b' E' q'[a]' q'(b)' Q'{c}' q'<d>'
q'!e!' nq'[f]' q' nq' u&'a' U&'b U& a ab foo user foo.bar select.1 select`a` union.x sp_password user( database( like( in( if( ;if
utf8_bin _latin1 a_b aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaa""".split()
WHITE = [" ", "  ", "\t", "\n", "\v", "\f", "\r", "\xa0", "\0", "\x7f", "\x01", "+", "/**/"]

HTML = """< > </ /> <! <? <% %> <!-- --> -!> --!> - <![CDATA[ ]]> <!doctype html> <!DOCTYPE <a <a> </a> </a > <b/> <script <SCRIPT>
</script> <scr\0ipt> <iframe <svg <SVG/ <svgx <xsl:x <xml <xss <base <meta <link <style <object <embed <!ENTITY <?import <?xml
<!--[if <![if <? <?x <%import <!xml <!xmlx ` ' " = == / a b img src src= href= HREF = style= onclick= onload on onx= on= xmlns=
xlink:href= xlinkx= action= by= to= from= values= filter= datasrc= attributename= attributename=onx handler= formaction= folder= data:
java javascript: JaVa\tscript view-source: vbscript: \x01java \x80\xffdata &#106; &#x6a; &#x6A;ava &#0000106ava &#x14A;AVA &#
&#x &#; &#xg &#9999999; &#x1000FF; &#10; &#32; &#0; &amp; \0 \xff \xa0 é 1 x=y x='y' x="y" x=`y`""".split()
HTML_WHITE = [" ", "\t", "\n", "\v", "\f", "\r", "\0", "/", "", "", ""]

LETTERS = {
    "1": ["1", "23", "1.5", "0x1F", "true", "\\N"],
    "S": ["'a'", "'b", '"c"', "$$d$$", "q'[e]'"],
    "V": ["@a", "@@b", "null", "current_user"],
    "N": ["foo", "[bar]", "`baz`", "o"],
    "F": ["sleep", "user(", "md5", "if", "char"],
    "O": ["=", "<=>", "like", "*", "is not", "~", "!="],
    "&": ["and", "OR", "||", "&&", "xor"],
    "C": ["-- x", "--", "#", "/*x*/", "/*y"],
    "U": ["union", "UNION ALL", "except"],
    "E": ["select", "SELECT distinct", "case", "create"],
    "B": ["group by", "ORDER BY", "limit", "having"],
    "K": ["from", "where", "into outfile", "as", "in"],
    "T": ["drop", "delete", "exec", "int", "varchar"],
    "A": ["collate"],
    "X": ["/*!1*/"],
}


def text(chance, pieces, white):
    """Some of `pieces`, in any order, with or without white space between."""
    parts = []
    for _ in range(chance.randint(1, 12)):
        parts.append(chance.choice(pieces))
        if chance.random() < 0.6:
            parts.append(chance.choice(white))
    data = "".join(parts).encode("latin-1")
    return chance.choice([data, data, data.upper(), data.lower()])


def words():
    lines = (TABLES / "words.txt").read_text().splitlines()
    return [word for line in lines for word in line[2:].split(",")]


def fingerprints():
    entries = (TABLES / "fingerprints.txt").read_text().split()
    pairs = [entry.split(">") for entry in entries]
    return [begin + end for begin, ends in pairs for end in ends]


def spelled(chance, fingerprint):
    """A text that may have this fingerprint, in any quotes."""
    parts = [chance.choice(LETTERS.get(letter, [letter])) for letter in fingerprint]
    joined = chance.choice([" ", " ", "", "/**/", "\n"]).join(parts)
    begin = chance.choice(["", "", "", "(", "-", "1' ", "'", '"', "a\" "])
    end = chance.choice(["", "", "", " --", "#", "'", '"', " or 1", ")"])
    return (begin + joined + end).encode("latin-1")


def noise(chance):
    """Bytes: any, or of few kinds, so that rare turns are taken often."""
    alphabet = chance.choice([bytes(range(256)), b"'\"`\\ a1-", b"<>=/!-?%[]a \0", b"/*!-# 1n;(", b"$a\0$1.q'[]{}@:"])
    return bytes(chance.choice(alphabet) for _ in range(chance.randint(1, 40)))


def mutated(chance, seeds):
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        match chance.randrange(5):
            case 0:
                data.insert(at, chance.randrange(256))
            case 1:
                del data[at : at + chance.randint(1, 4)]
            case 2:
                data[at:at] = chance.choice(["'", '"', "--", "#", "/*", "*/", "<", ">", "=", "`", "\0", "&#"]).encode()
            case 3:
                other = chance.choice(seeds)
                data[at:] = other[chance.randint(0, len(other)) :]
            case 4 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def groups(chance, count):
    """Yields the name of each kind of input, and `count` of that kind."""
    sql = SQL + words()
    known = fingerprints()
    seeds = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    yield "seeds", seeds
    yield "fingerprints spelled out", [spelled(chance, chance.choice(known)) for _ in range(count)]
    yield "SQL", [text(chance, sql, WHITE) for _ in range(count)]
    yield "HTML", [text(chance, HTML, HTML_WHITE) for _ in range(count)]
    yield "HTML and SQL", [text(chance, HTML + SQL, WHITE) for _ in range(count)]
    yield "bytes", [noise(chance) for _ in range(count)]
    yield "mutations", [mutated(chance, seeds) for _ in range(count)]
