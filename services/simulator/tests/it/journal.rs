//! The log over a restart.

use crate::stage::{FROM, Stage};

const SLOW: &str = "[[person]]\nnumber = \"+19195550110\"\nanswers = { after = \"500s\" }\n\n\
                    [[person]]\nnumber = \"+19195550103\"\nbusy = true\n";

#[tokio::test]
async fn a_restart_appends_and_knows_the_earlier_calls() {
    let stage = Stage::set("", SLOW).await;
    let place = async |stage: &Stage, to: &str| {
        let form = [("To", to), ("From", FROM), ("Twiml", "<Response/>"), ("Timeout", "600")];
        stage.post("Calls.json", &form).await.1["sid"].as_str().unwrap().to_owned()
    };
    let ringing = place(&stage, "+19195550110").await;
    let busy = place(&stage, "+19195550103").await;
    while stage.get(&format!("Calls/{busy}.json")).await.1["status"] != "busy" {}
    let before = stage.log().await;
    let folder = stage.strike().await;

    let stage = Stage::in_folder(folder, "", SLOW).await;
    assert_eq!(stage.get(&format!("Calls/{ringing}.json")).await.1["status"], "failed");
    let (_, call) = stage.get(&format!("Calls/{busy}.json")).await;
    assert_eq!((&call["status"], &call["to"]), (&"busy".into(), &"+19195550103".into()));
    let after = stage.log().await;
    assert_eq!(after[..before.len()], before);
    let numbers: Vec<_> = after.iter().map(|fact| fact["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=after.len() as u64).collect::<Vec<_>>());
    assert!(after.iter().any(|fact| fact["by"] == "restart" && fact["sid"] == ringing));
    let rest = stage.client.get(format!("{}/sim/log?after={}&limit=1", stage.url, before.len()));
    let rest: serde_json::Value = rest.send().await.unwrap().json().await.unwrap();
    assert_eq!(rest["n"], before.len() + 1);
}
