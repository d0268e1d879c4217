"""Asks a key store to suspend, resume or revoke a key, as a recipe says.

A recipe is a file of JSON: for each action the steps, which are HTTP requests. `{key}` is the key's id,
`{token}` the credential of the store, `{answer.NAME}` a field of the previous step's answer.
"""

import datetime
import hashlib
import hmac
import json
import os
import urllib.error
import urllib.parse
import urllib.request

MOST_BYTES = 1 << 20


class Unknown(Exception):
    """The store has no such key."""


class Failed(Exception):
    """The store did not do it; another attempt may succeed."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Recipe:
    def __init__(self, path, url="", token=""):
        with open(path, encoding="utf-8") as file:
            self.recipe = json.load(file)
        region = os.environ.get("AWS_REGION", "")
        self.url = (url or self.recipe["url"].replace("{region}", region)).rstrip("/")
        self.region, self.token = region, token
        self.opener = urllib.request.build_opener(_NoRedirect)

    def can(self, action):
        return action in self.recipe

    def run(self, action, key):
        answer = {}
        for step in self.recipe[action]:
            answer = self._call(step, key, answer)

    def _call(self, step, key, answer):
        names = {"key": key}
        names.update({f"answer.{name}": value for name, value in answer.items()
                      if isinstance(value, str)})
        url = self.url + _filled(step["path"], names, lambda text: urllib.parse.quote(text, safe=""))
        body = None
        if "body" in step:
            body = _filled_all(step["body"], names)
            if step.get("over_answer"):
                body = {**answer, **body}
            body = json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.token:
            for name, value in self.recipe.get("headers", {}).items():
                headers[name] = value.replace("{token}", self.token)
        if "sign" in self.recipe:
            now = datetime.datetime.now(datetime.timezone.utc)
            headers.update(aws_headers(step["method"], url, body or b"", self.recipe["sign"],
                                       self.region, now))
        return self._send(urllib.request.Request(url, body, headers, method=step["method"]))

    def _send(self, request):
        try:
            with self.opener.open(request, timeout=10) as response:
                body = response.read(MOST_BYTES)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise Unknown() from None
            raise Failed(f"the key store answered {error.code}") from None
        except (OSError, ValueError) as error:
            raise Failed(f"the key store cannot be reached: {error}") from None
        try:
            answer = json.loads(body) if body else {}
        except ValueError:
            answer = {}
        return answer if isinstance(answer, dict) else {}


def _filled(text, names, encode=lambda text: text):
    # One pass: what an id holds is never taken for another name.
    parts = text.split("{")
    filled = parts[0]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        if name not in names:
            raise Failed(f"the key store gave no {name}")
        filled += encode(names[name]) + rest
    return filled


def _filled_all(value, names):
    if isinstance(value, str):
        return _filled(value, names)
    if isinstance(value, list):
        return [_filled_all(item, names) for item in value]
    if isinstance(value, dict):
        return {name: _filled_all(item, names) for name, item in value.items()}
    return value


def aws_headers(method, url, body, service, region, now):
    """Signature version 4 of AWS, with the credentials of the environment.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    parts = urllib.parse.urlsplit(url)
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-date": moment}
    if os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    # The path is encoded a second time, for all services but S3.
    path = urllib.parse.quote(parts.path or "/", safe="/-_.~")
    request = "\n".join([method, path, parts.query, lines, names, hashlib.sha256(body).hexdigest()])
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={access}/{scope}, "
                                f"SignedHeaders={names}, Signature={signature}")
    return headers
