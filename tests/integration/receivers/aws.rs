//! Verifies Signature Version 4 of AWS, as a service of AWS would.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::running::{ACCESS_KEY, SECRET_KEY};
use super::stores::Call;

/// The rest of `Authorization` after the algorithm, by name.
fn parts(authorization: &str) -> Option<[&str; 3]> {
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut parts = rest.split(", ");
    let names = ["Credential=", "SignedHeaders=", "Signature="];
    let mut next = |name: &str| parts.next()?.strip_prefix(name);
    Some([next(names[0])?, next(names[1])?, next(names[2])?])
}

pub fn verify(call: &Call<'_>) -> Result<(), &'static str> {
    let header = |name: &str| call.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or("");
    let [credential, signed, signature] =
        parts(header("authorization")).ok_or("Missing Authentication Token")?;
    let moment = header("x-amz-date");
    let scope = format!("{}/eu-central-1/apigateway/aws4_request", moment.get(..8).unwrap_or(""));
    if credential != format!("{ACCESS_KEY}/{scope}") {
        return Err("Credential should be scoped to a valid region and service");
    }
    let lines: String =
        signed.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    // The path arrives encoded, and is encoded once more.
    let path = call.path.replace('%', "%25");
    let body = hex::encode(Sha256::digest(call.body));
    let request = format!("{}\n{path}\n{}\n{lines}\n{signed}\n{body}", call.method, call.query);
    let is_same = signature == sign(&request, moment, &scope);
    if is_same { Ok(()) } else { Err("The request signature we calculated does not match") }
}

fn sign(request: &str, moment: &str, scope: &str) -> String {
    let digest = hex::encode(Sha256::digest(request));
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}");
    let first = format!("AWS4{SECRET_KEY}").into_bytes();
    let key = scope.split('/').fold(first, |key, part| mac(&key, part));
    hex::encode(mac(&key, &text))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `get-vanilla` of the test suite that AWS publishes.
#[test]
fn the_stand_in_signs_as_aws_does() {
    let empty = hex::encode(Sha256::digest(""));
    let moment = "20150830T123600Z";
    let request = format!(
        "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:{moment}\n\nhost;x-amz-date\n{empty}"
    );
    let signature = sign(&request, moment, "20150830/us-east-1/service/aws4_request");
    assert_eq!(signature, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}
