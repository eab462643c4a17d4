//! Balance, stickiness and the byte layout of the assignment.

use super::*;

fn task(sub: usize, partition: i32) -> TaskId {
    TaskId { sub, partition }
}

fn member(tasks: &[TaskId]) -> Standing {
    Standing { process: [7; 16], tasks: tasks.iter().copied().collect() }
}

fn shown(tasks: &[TaskId], members: &[(&str, &[TaskId])]) -> String {
    let members = members.iter().map(|(id, tasks)| ((*id).to_owned(), member(tasks))).collect();
    let shares = assign_tasks(tasks, &members).into_iter().map(|(id, tasks)| {
        let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        format!("{id}: {}", tasks.join(" "))
    });
    shares.collect::<Vec<_>>().join(" | ")
}

#[test]
fn tasks_are_balanced_and_stay_where_their_state_is() {
    let tasks = [task(0, 0), task(0, 1), task(0, 2), task(1, 0), task(1, 1)];
    assert_eq!(shown(&tasks, &[("a", &[])]), "a: 0_0 0_1 0_2 1_0 1_1");
    assert_eq!(shown(&tasks, &[("a", &[]), ("b", &[])]), "a: 0_0 0_2 1_1 | b: 0_1 1_0");
    let all = &tasks[..];
    assert_eq!(shown(&tasks, &[("a", all), ("b", &[])]), "a: 0_0 0_1 0_2 | b: 1_0 1_1");
    let (left, right) = (&[tasks[1], tasks[4]][..], &[tasks[0], tasks[2], tasks[3]][..]);
    assert_eq!(shown(&tasks, &[("a", left), ("b", right)]), "a: 0_1 1_1 | b: 0_0 0_2 1_0");
    let more = [("a", left), ("b", right), ("c", &[][..])];
    assert_eq!(shown(&tasks, &more), "a: 0_1 1_1 | b: 0_0 0_2 | c: 1_0");
    let crowd = [("a", &[][..]), ("b", &[]), ("c", &[]), ("d", &[]), ("e", &[]), ("f", all)];
    let counts = shown(&tasks, &crowd);
    assert_eq!(counts, "a: 0_1 | b: 0_2 | c: 1_0 | d: 1_1 | e:  | f: 0_0");
}

#[test]
fn user_data_round_trips_and_refuses_what_is_foreign() {
    let standing = member(&[task(1, 2), task(0, 3)]);
    let bytes = standing.encode();
    assert_eq!(bytes.len(), 1 + 16 + 4 + 2 * 8);
    assert_eq!(Standing::decode(&bytes), Ok(standing));
    for bad in [&bytes[..bytes.len() - 1], &[], &[2; 40]] {
        assert!(Standing::decode(bad).is_err());
    }
}
