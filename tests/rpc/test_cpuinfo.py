#!/usr/bin/python3
"""What a processor can do: written, read by crit and CRIU, compared, by the command and by requests."""
from rpclib import *

CRIU = os.environ.get("CRIU")


def crit(*args, **kw):
    return subprocess.run(["crit", *args], check=True, capture_output=True, text=True, **kw).stdout


def decoded(d):
    return json.loads(crit("decode", "-i", d + "/cpuinfo.img"))


def changed(d, change):
    """A copy of the image with its processor changed."""
    image = decoded(d)
    change(image["entries"][0]["x86_entry"][0])
    out = images("changed")
    crit("encode", "-o", out + "/cpuinfo.img", input=json.dumps(image))
    return out


def flags():
    return set(re.search(r"^flags\s*: (.*)", open("/proc/cpuinfo").read(), re.M).group(1).split())


def test_dump_and_check():
    d = images()
    cl("cpuinfo", "dump", "-D", d)
    cl("cpuinfo", "check", "-D", d)
    need("crit")
    cpu = decoded(d)["entries"][0]["x86_entry"][0]
    text = open("/proc/cpuinfo").read()
    for key, name in (("cpu_family", "cpu family"), ("model", "model"), ("stepping", "stepping"), ("model_id", "model name")):
        assert str(cpu[key]) == re.search(r"^%s\s*: (.*)" % name, text, re.M).group(1), (key, cpu)
    for word, bit, flag in ((0, 26, "sse2"), (1, 29, "lm"), (4, 13, "cx16"), (9, 5, "avx2"), (9, 31, "avx512vl"), (11, 22, "rdpid"), (18, 4, "fsrm")):
        assert (cpu["capability"][word] >> bit & 1) == (flag in flags()), flag
    # An older one is replaced, and other files of the directory stay.
    open(d + "/pstree.img", "w").close()
    cl("cpuinfo", "dump", "-D", d)
    assert os.path.exists(d + "/pstree.img")


def test_lacking():
    """Another processor could do more: what is missing is named."""
    need("crit")
    d = images()
    cl("cpuinfo", "dump", "-D", d)

    def more(cpu):
        cpu["capability"][6] |= 1 << 21 | 1 << 16
        cpu["capability"][7] = 0xffffffff  # no instructions
    lacks = [f for f in ("fma4", "tbm") if f not in flags()]
    assert lacks, "a processor with everything"
    p = cl("cpuinfo", "check", "-D", changed(d, more), ok=False)
    assert "[cpu-lacks]" in p.stderr and all(f in p.stderr for f in lacks), p.stderr
    for change, word in ((lambda c: c.update(vendor_id="INTEL" if c["vendor_id"] == "AMD" else "AMD"), "maker"),
                         (lambda c: c.update(xfeatures_mask=c["xfeatures_mask"] | 1 << 40), "XSAVE"),
                         (lambda c: c.update(xsave_size=1 << 20), "XSAVE"),
                         (lambda c: c.update(capability_ver=9), "layout")):
        p = cl("cpuinfo", "check", "-D", changed(d, change), ok=False)
        assert "[cpu-lacks]" in p.stderr and word in p.stderr, p.stderr

    def less(cpu):
        cpu["capability"][9] = cpu["capability"][11] = 0
    cl("cpuinfo", "check", "-D", changed(d, less))
    p = cl("cpuinfo", "check", "-D", images("none"), ok=False)
    assert "cpuinfo.img" in p.stderr, p.stderr


def test_requests():
    with Service() as s:
        for connect in (s.connect, swrk):
            d = images()
            fd = os.open(d, os.O_RDONLY)
            with connect() as c:
                bad(c.ask(request(rpc.CPUINFO_CHECK, fd)), "cpuinfo.img")
            with connect() as c:
                assert good(c.ask(request(rpc.CPUINFO_DUMP, fd))).type == rpc.CPUINFO_DUMP
            assert os.stat(d + "/cpuinfo.img").st_size > 100
            with connect() as c:
                assert good(c.ask(request(rpc.CPUINFO_CHECK, fd))).type == rpc.CPUINFO_CHECK
            os.close(fd)


def test_with_criu():
    if not CRIU:
        raise Skip("CRIU= names no CRIU")
    ours, theirs = images("ours"), images("theirs")
    cl("cpuinfo", "dump", "-D", ours)
    subprocess.run([CRIU, "cpuinfo", "dump", "-D", theirs], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([CRIU, "cpuinfo", "check", "-D", ours], check=True, stderr=subprocess.DEVNULL)
    cl("cpuinfo", "check", "-D", theirs)


main()
