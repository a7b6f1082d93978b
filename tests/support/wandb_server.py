"""A stand-in for W&B's server on the loopback, which takes runs and keeps the requests."""

import contextlib
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(query, variables, base):
    """Answer one of the GraphQL requests that wandb makes for a run."""
    if "UpsertBucket" in query:
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "team"}}
        bucket = {"id": "b", "name": variables["name"], "project": project, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}
    if "CreateRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{base}/upload"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
    return {}


@contextlib.contextmanager
def accepting_server(answer=answer):
    """Yield the server's URL, and the list of its requests: path, authorization, and what JSON they held.

    `answer(query, variables, url)` answers those in GraphQL.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sent = json.loads(body) if body.startswith(b"{") else {}
            requests.append({"path": self.path, "key": "Authorization" in self.headers, **sent})
            base = f"http://127.0.0.1:{server.server_port}"
            data = answer(sent.get("query", ""), sent.get("variables"), base)
            body = json.dumps({"data": data}).encode() if self.path == "/graphql" else b"{}"
            self.send_response(404 if "otel" in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
