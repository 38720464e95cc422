//! What each request of a load costs the process that answers it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Look, Usage};
use crate::sys;

/// How often the end of the command is looked for; the watched process only pays for what it does.
const STEP: Duration = Duration::from_millis(20);

/// Run a load, such as wrk or `shoal-bench https`, and tell what each of its requests cost the
/// process that answered them. The command prints, last of all, a JSON object with the number of
/// its requests and the seconds that they took.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The process that answers
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,

    /// Run the command on this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    if let Some(cpu) = options.cpu {
        sys::pin_to_cpu(cpu).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))?;
    }
    let server_before = Look::at(options.pid)?;
    let self_before = Look::at(0)?;
    let output = output_of(&options.command, stop)?;
    let server_after = Look::at(options.pid)?;
    let self_after = Look::at(0)?;

    let load = result_in(&output)?;
    let number = |name: &str| load[name].as_f64().filter(|&number| number > 0.0);
    let (requests, seconds) = number("requests")
        .zip(number("seconds"))
        .ok_or_else(|| format!("the load says nothing of its requests and seconds: {load}"))?;
    let server = Usage::between(&server_before, &server_after);
    let generator = Usage::between(&self_before, &self_after);
    let cpu_us = server.cpu_ns as f64 / 1e3 / requests;
    let user_us = cpu_us * server.user_share;
    let cpus = server.cpu_ns as f64 / 1e9 / seconds;
    let busy_share = generator.children_s / seconds;
    let requests_per_s = requests / seconds;
    if options.json {
        let report = json!({
            "report": "cost",
            "requests_per_s": requests_per_s,
            "load": load,
            "server": {
                "cpu_us_per_request": {"user": user_us, "system": cpu_us - user_us, "all": cpu_us},
                "cpus": cpus,
                "sleeps_per_s": server.sleeps as f64 / seconds,
                "rss_kib": server_after.rss_kib,
            },
            "generator": {"busy_share": busy_share},
        });
        println!("{report:#}");
    } else {
        println!(
            "{requests_per_s:.0} requests/s, {cpu_us:.1} us CPU each ({user_us:.1} user, {:.1} \
             system), server busy {:.0}%, generator busy {:.0}%",
            cpu_us - user_us,
            cpus * 100.0,
            busy_share * 100.0
        );
    }
    Ok(())
}

/// Runs the command to its end; whatever it said is shown when it fails.
fn output_of(command: &[String], stop: &AtomicBool) -> Result<String, String> {
    let program = &command[0];
    let mut child = Command::new(program)
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is missing below, and said there.
            let _ = pipe.read_to_end(&mut output);
        }
        String::from_utf8_lossy(&output).into_owned()
    });
    let good = wait_for(&mut child, stop).map_err(|error| format!("{program}: {error}"))?;
    let output = reader.join().unwrap_or_default();
    if good {
        Ok(output)
    } else {
        eprint!("{output}");
        Err(format!("{program} failed; what it said stands above"))
    }
}

/// True when the command ended well; ends it when somebody wants this to end.
fn wait_for(child: &mut Child, stop: &AtomicBool) -> std::io::Result<bool> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if stop.load(Ordering::Relaxed) {
            child.kill()?;
        }
        std::thread::sleep(STEP);
    }
}

/// The JSON object that the output ends with; it begins on a line of its own.
fn result_in(output: &str) -> Result<Value, String> {
    let at = match output.rfind("\n{") {
        Some(line_end) => line_end + 1,
        None if output.starts_with('{') => 0,
        None => return Err(String::from("the load printed no JSON object")),
    };
    serde_json::from_str(&output[at..])
        .map_err(|error| format!("cannot read the result of the load: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(String::from).collect()
    }

    #[test]
    fn the_result_is_the_object_at_the_end_of_the_output() {
        for output in [
            "{\"requests\": 7}",
            "words\n{\"requests\": 7}\n",
            "{\"requests\": 6} words\n{\n  \"requests\": 7,\n  \"more\": {\n  }\n}\n",
        ] {
            assert_eq!(result_in(output).unwrap()["requests"], 7, "{output}");
        }
        for wrong in ["", "words", "words {\"requests\": 7}", "\n{\"requests\": "] {
            assert!(result_in(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_command_is_run_to_its_end_and_its_failure_is_told() {
        let stop = AtomicBool::new(false);
        assert_eq!(output_of(&words("echo|a b"), &stop).unwrap(), "a b\n");
        assert!(output_of(&words("false"), &stop).is_err());
        let missing = output_of(&words("/no/such/program"), &stop).unwrap_err();
        assert!(
            missing.starts_with("cannot start /no/such/program: "),
            "{missing}"
        );
    }

    #[test]
    fn a_command_does_not_outlive_the_wish_to_end() {
        let stop = AtomicBool::new(true);
        assert!(output_of(&words("sleep|600"), &stop).is_err());
    }
}
