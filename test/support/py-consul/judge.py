"""Calls of the Python package py-consul against an agent (CONSUL_HTTP_ADDR); prints one JSON object a call: name, and error ('' where the
call did what it does with Consul). Run by test/integration/py-consul.test.ts."""
import json
import os
import sys

import consul
from consul.exceptions import ConsulException

host, port = os.environ["CONSUL_HTTP_ADDR"].rsplit(":", 1)
c = consul.Consul(host=host, port=int(port))


def want(got, expected, what="answer"):
    assert got == expected, f"{what}: got {got!r}, want {expected!r}"


def fails(call, error=ConsulException):
    try:
        call()
    except error:
        return
    raise AssertionError("was not refused")


def register():
    c.agent.service.register("web", service_id="web-1", address="10.0.0.1", port=80, tags=["v1"], check=consul.Check.ttl("1h"), meta={"a": "b"})
    service = c.agent.services()["web-1"]
    want((service["Service"], service["Port"], service["Tags"], service["Meta"]), ("web", 80, ["v1"], {"a": "b"}))


def ttl():
    for call, status in ((c.agent.check.ttl_pass, "passing"), (c.agent.check.ttl_warn, "warning"), (c.agent.check.ttl_fail, "critical")):
        call("service:web-1", notes="note")
        check = c.agent.checks()["service:web-1"]
        want((check["Status"], check["Output"]), (status, "note"))
    c.agent.check.ttl_pass("service:web-1")


def check_register():
    c.agent.check.register("mem", check=consul.Check.tcp("127.0.0.1", 1, "10s"), check_id="mem")
    want(c.agent.checks()["mem"]["Name"], "mem")
    c.agent.check.deregister("mem")
    want("mem" in c.agent.checks(), False)


def maintenance():
    c.agent.service.maintenance("web-1", True, "disk")
    want(c.agent.checks()["_service_maintenance:web-1"]["Notes"], "disk")
    c.agent.service.maintenance("web-1", False)
    c.agent.maintenance(True, "node")
    c.agent.maintenance(False)


def catalog():
    c.catalog.register("far", "192.0.2.1", service={"service": "db", "port": 5432}, check={"name": "up", "status": "passing"})
    _, nodes = c.catalog.service("db")
    want([(n["Node"], n["ServicePort"]) for n in nodes], [("far", 5432)])
    index, nodes = c.catalog.nodes()
    want("far" in [n["Node"] for n in nodes] and int(index) > 0, True)
    want(c.catalog.node("far")[1]["Services"]["db"]["Port"], 5432)
    want(c.catalog.services()[1]["web"], ["v1"])
    want(c.catalog.datacenters(), ["dc1"])
    c.catalog.deregister("far", service_id="db")
    c.catalog.deregister("far")
    want(c.catalog.node("far")[1], None)


def health():
    _, entries = c.health.service("web", passing=True, tag="v1")
    want([e["Service"]["ID"] for e in entries], ["web-1"])
    want([x["CheckID"] for x in c.health.checks("web")[1]], ["service:web-1"])
    want("serfHealth" in [x["CheckID"] for x in c.health.state("any")[1]], True)
    node = c.agent.self()["Config"]["NodeName"]
    want("serfHealth" in [x["CheckID"] for x in c.health.node(node)[1]], True)


def kv():
    want(c.kv.get("none")[1], None)
    want(c.kv.put("py/a", "one", flags=3), True)
    index, pair = c.kv.get("py/a")
    want((pair["Value"], pair["Flags"]), (b"one", 3))
    want(c.kv.put("py/a", "x", cas=0), False)
    want(c.kv.put("py/a", "two", cas=pair["ModifyIndex"]), True)
    # Blocks until the next change, which has been.
    want(c.kv.get("py/a", index=index, wait="10s")[1]["Value"], b"two")
    want(c.kv.get("py/", keys=True)[1], ["py/a"])
    want([p["Key"] for p in c.kv.get("py/", recurse=True)[1]], ["py/a"])
    want(c.kv.get("py/", keys=True, separator="/")[1], ["py/a"])
    want(c.kv.delete("py", recurse=True), True)
    want(c.kv.get("py/", recurse=True)[1], None)


def sessions():
    session = c.session.create(name="lock", ttl=30, lock_delay=0, behavior="delete")
    want(c.kv.put("leader", "me", acquire=session), True)
    want(c.kv.put("leader", "you", acquire=c.session.create()), False)
    want(c.session.info(session)[1]["Name"], "lock")
    want(c.session.renew(session)["ID"], session)
    want(len(c.session.list()[1]) >= 2, True)
    want(c.session.destroy(session), True)
    want(c.kv.get("leader")[1], None)
    fails(lambda: c.session.renew(session))


def txn():
    import base64

    value = base64.b64encode(b"v").decode()
    result = c.txn.put([{"KV": {"Verb": "set", "Key": "t", "Value": value}}, {"KV": {"Verb": "get", "Key": "t"}}])
    want(result["Results"][1]["KV"]["Value"], value)


def queries():
    query = c.query.create("web", name="py-q")
    want(c.query.get(query["ID"])[0]["Name"], "py-q")
    want(c.query.execute("py-q")["Service"], "web")
    want(c.query.explain("py-q")["Query"]["Name"], "py-q")
    want([q["Name"] for q in c.query.list()], ["py-q"])
    c.query.update(query["ID"], name="py-r", service="web")
    want(c.query.delete(query["ID"]), True)


def events():
    fired = c.event.fire("py", "body")
    want([e["ID"] for e in c.event.list("py")[1]], [fired["ID"]])


def agent():
    want([m["Status"] for m in c.agent.members()], [1])
    want(c.agent.self()["Config"]["Datacenter"], "dc1")
    fails(lambda: c.agent.force_leave("nobody"))


def operator():
    want([s["Leader"] for s in c.operator.raft_config()["Servers"]], [True])


def status():
    want(c.status.peers(), [c.status.leader()])


def connect():
    want(len(c.connect.ca.roots()[1] if isinstance(c.connect.ca.roots(), tuple) else c.connect.ca.roots()["Roots"]) > 0, True)


def coordinate():
    want(c.coordinate.datacenters()[0]["Datacenter"], "dc1")
    want(len(c.coordinate.nodes()[1]), 1)


def deregister():
    want(c.agent.service.deregister("web-1"), True)
    want("web-1" in c.agent.services(), False)
    want(c.agent.service.deregister("web-1"), False)


CALLS = [register, ttl, check_register, maintenance, catalog, health, kv, sessions, txn, queries, events, agent, operator, status]
CALLS += [connect, coordinate, deregister]
for call in CALLS:
    try:
        call()
        error = ""
    except Exception as problem:  # every verdict is printed
        error = f"{type(problem).__name__}: {problem}"
    print(json.dumps({"name": call.__name__, "error": error}))
sys.exit(0)
