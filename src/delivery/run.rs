//! Runs: what an answer says of what a request started.
//!
//! In: the answer of a system for CI/CD, whichever it is. Out: a [`RunRef`], if the answer has one
//! of the forms that are known. What is malformed, cut off or of another form says nothing.

use serde_json::Value;
use url::Url;

use crate::action::RunRef;
use crate::request::Response;

/// How much of an answer is worth reading for a run, in bytes.
pub(crate) const MAX_RUN_BYTES: usize = 16 * 1024;
/// What the address of Jenkins' Generic Webhook Trigger has behind Jenkins' own.
const GENERIC_WEBHOOK: &str = "/generic-webhook-trigger/";

/// What a request started, by its answer.
///
/// | who | what is read |
/// |---|---|
/// | GitLab's pipelines | `id` and `web_url` |
/// | Jenkins' Generic Webhook Trigger | the first job that was triggered, of `jobs` or `data.triggerResults`: `id` and `url` |
/// | Jenkins' jobs | the `Location` of a 201: the item of the queue |
/// | Harness' custom triggers | `data.eventCorrelationId`, `data.uiUrl` or `data.apiUrl` |
/// | Tekton's event listeners | `eventID` |
pub(crate) fn run_of(asked: &Url, response: &Response) -> Option<RunRef> {
    if !(200..300).contains(&response.status) {
        return None;
    }
    let told = Some(response.body.as_slice())
        .filter(|body| body.first() == Some(&b'{') && body.len() <= MAX_RUN_BYTES)
        .and_then(|body| serde_json::from_slice::<Value>(body).ok())
        .and_then(|answer| told(asked, &answer));
    let run = told.or_else(|| located(asked, response))?;
    Some(run).filter(|run| !run.is_empty())
}

fn told(asked: &Url, answer: &Value) -> Option<RunRef> {
    gitlab(answer)
        .or_else(|| jenkins(asked, answer))
        .or_else(|| harness(answer))
        .or_else(|| answer["eventListener"].is_string().then(|| id(&answer["eventID"])))
}

/// An id, which may be a number.
fn id(value: &Value) -> RunRef {
    match value {
        Value::String(text) => RunRef::of_id(text.as_str()),
        Value::Number(number) => RunRef::of_id(number.to_string()),
        _ => RunRef::default(),
    }
}

fn gitlab(answer: &Value) -> Option<RunRef> {
    let url = answer["web_url"].as_str()?;
    answer["id"].is_number().then(|| id(&answer["id"]).with_url(url))
}

fn jenkins(asked: &Url, answer: &Value) -> Option<RunRef> {
    let jobs =
        answer["jobs"].as_object().or_else(|| answer["data"]["triggerResults"].as_object())?;
    let job = jobs.values().find(|job| job["triggered"] == Value::Bool(true))?;
    let run = id(&job["id"]);
    // From where Jenkins is, which is where its own address ends.
    let place = asked.path().find(GENERIC_WEBHOOK).zip(job["url"].as_str());
    let url = place.and_then(|(end, below)| {
        let mut base = asked.clone();
        base.set_query(None);
        base.set_path(&format!("{}/", &asked.path()[..end]));
        base.join(below).ok().filter(|url| url.origin() == asked.origin())
    });
    Some(match url {
        Some(url) => run.with_url(url.as_str()),
        None => run,
    })
}

fn harness(answer: &Value) -> Option<RunRef> {
    let data = &answer["data"];
    let run = RunRef::of_id(data["eventCorrelationId"].as_str()?);
    let url = data["uiUrl"].as_str().or_else(|| data["apiUrl"].as_str());
    Some(match url {
        Some(url) => run.with_url(url),
        None => run,
    })
}

/// Where a job waits that Jenkins has put into its queue.
fn located(asked: &Url, response: &Response) -> Option<RunRef> {
    let location = response.headers.only("location").filter(|_| response.status == 201)?;
    let mut url = asked.join(std::str::from_utf8(location).ok()?).ok()?;
    url.set_fragment(None);
    let mut segments = url.path_segments()?.rev().filter(|segment| !segment.is_empty());
    let number = segments.next()?.to_owned();
    let is_queue = segments.next() == Some("item") && segments.next() == Some("queue");
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    (is_queue && is_number).then(|| RunRef::of_id(number).with_url(url.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Told = (Option<String>, Option<String>);

    fn run(asked: &str, status: u16, body: &str) -> Option<Told> {
        let response = Response { status, body: body.into(), ..Response::default() };
        let run = run_of(&asked.parse().unwrap(), &response)?;
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some((own(run.id()), own(run.url())))
    }

    fn expected(id: &str, url: Option<&str>) -> Told {
        (Some(id.to_owned()), url.map(str::to_owned))
    }

    const JENKINS: &str = "https://ci.example/jenkins/generic-webhook-trigger/invoke?token=s";

    #[test]
    fn what_each_system_answers_is_read() {
        let gitlab =
            json!({"id": 47, "iid": 1, "web_url": "https://gitlab.example/a/-/pipelines/47"});
        let url = Some("https://gitlab.example/a/-/pipelines/47");
        assert_eq!(
            run("https://gitlab.example/", 201, &gitlab.to_string()),
            Some(expected("47", url))
        );
        let job = |triggered| json!({"id": 25, "triggered": triggered, "url": "queue/item/25/"});
        let jobs = json!({"jobs": {"a": {"triggered": false}, "b": job(true)}, "message": "Done."});
        let url = Some("https://ci.example/jenkins/queue/item/25/");
        assert_eq!(run(JENKINS, 200, &jobs.to_string()), Some(expected("25", url)));
        let newer = json!({"status": "ok", "data": {"triggerResults": {"b": job(true)}}});
        assert_eq!(run(JENKINS, 200, &newer.to_string()), Some(expected("25", url)));
        assert_eq!(
            run("https://ci.example/other", 200, &newer.to_string()),
            Some(expected("25", None))
        );
        let none = json!({"jobs": {"b": job(false)}});
        assert_eq!(run(JENKINS, 200, &none.to_string()), None);
        let harness = json!({"status": "SUCCESS", "data": {
            "eventCorrelationId": "65f0", "apiUrl": "https://app.harness.example/api/65f0"}});
        let url = Some("https://app.harness.example/api/65f0");
        assert_eq!(
            run("https://app.harness.example/", 200, &harness.to_string()),
            Some(expected("65f0", url))
        );
        let tekton = json!({"eventListener": "l", "namespace": "n", "eventID": "3c05"});
        assert_eq!(
            run("https://el.example/", 202, &tekton.to_string()),
            Some(expected("3c05", None))
        );
    }

    #[test]
    fn an_item_of_jenkins_queue_is_read_from_where_it_is() {
        let asked: Url = "https://ci.example/job/a/buildWithParameters?token=s".parse().unwrap();
        let located = |status, location: &str| {
            let mut response = Response { status, ..Response::default() };
            response.headers.push("location", location);
            run_of(&asked, &response)
        };
        let item = RunRef::of_id("7").with_url("https://ci.example/queue/item/7/");
        assert_eq!(located(201, "https://ci.example/queue/item/7/"), Some(item.clone()));
        assert_eq!(located(201, "/queue/item/7/#x"), Some(item));
        assert_eq!(located(302, "/queue/item/7/"), None);
        for other in ["/", "/queue/item/x/", "/item/7", "http://[", "\u{0}"] {
            assert_eq!(located(201, other), None, "{other:?}");
        }
    }

    #[test]
    fn an_answer_is_read_that_is_as_long_as_it_may_be() {
        let of_length = |length: usize| {
            let answer = r#"{"id": 1, "web_url": "https://a.example/"}"#;
            format!("{answer}{}", " ".repeat(length - answer.len()))
        };
        let url = Some("https://a.example/");
        assert_eq!(run(JENKINS, 200, &of_length(16_384)), Some(expected("1", url)));
        assert_eq!(run(JENKINS, 200, &of_length(16_385)), None);
    }

    #[test]
    fn a_job_elsewhere_is_known_by_its_id_alone() {
        let elsewhere = json!({"id": 25, "triggered": true, "url": "https://evil.example/25/"});
        let jobs = json!({"jobs": {"b": elsewhere}}).to_string();
        assert_eq!(run(JENKINS, 200, &jobs), Some(expected("25", None)));
    }

    #[test]
    fn what_is_malformed_or_of_another_form_says_nothing() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "ok",
            r#"{"id": 1}"#,
            r#"{"web_url": "https://a.example/"}"#,
            r#"{"id": 1, "web_url": 7}"#,
            r#"{"jobs": []}"#,
            r#"{"jobs": {"a": 1}}"#,
            r#"{"data": "x"}"#,
            r#"{"data": {"eventCorrelationId": 7}}"#,
            r#"{"eventID": "x"}"#,
        ] {
            assert_eq!(run(JENKINS, 200, body), None, "{body:.60}");
        }
        let odd = json!({"id": 1, "web_url": "javascript:alert(1)"}).to_string();
        assert_eq!(run(JENKINS, 200, &odd), Some(expected("1", None)));
        let failed = json!({"id": 1, "web_url": "https://a.example/"}).to_string();
        assert_eq!(run(JENKINS, 500, &failed), None);
        let away = json!({"jobs": {"b": {"id": 1, "triggered": true, "url": "//evil.example/"}}});
        assert_eq!(run(JENKINS, 200, &away.to_string()), Some(expected("1", None)));
    }
}
