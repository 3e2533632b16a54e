//! The coordinator is killed, or stopped to wake up later, at each point of a conversation.

use std::time::Duration;

use lab::accounts::{Point, Side};
use lab::{Accounts, session};

use crate::common::{Turn, assert_agreed, chain_of};

/// Ten offsets inside a record; the simulated world has every one.
const OFFSETS: [usize; 10] = [1, 2, 3, 5, 8, 13, 21, 27, 32, 38];

/// A line with a few records and charges each second, and an ear for every byte. A record of a
/// hundred characters takes 0.1 s: the line is idle at times, too.
fn watched(dialect: &str) -> Accounts {
    Accounts {
        watched: true,
        items: Some(Duration::from_millis(450)),
        charges: Some(Duration::from_millis(350)),
        ..Accounts::of(dialect)
    }
}

/// Points at which whoever posts or answers is killed, seen from the side that sends records.
fn points(side: Side) -> Vec<Point> {
    let other = match side {
        Side::Gateway => Side::Billing,
        Side::Billing => Side::Gateway,
    };
    let mut points: Vec<_> = OFFSETS.map(|offset| Point::Inside(side, offset)).into();
    points.extend([
        Point::BeforeCheck(side),
        Point::BeforeAnswer(side),
        Point::AfterAnswer(side),
        Point::Inside(other, 7),
        Point::BeforeAnswer(other),
        Point::Idle,
    ]);
    points
}

async fn killed_at(accounts: Accounts, points: Vec<Point>) {
    let _turn = Turn::take();
    let mut chain = chain_of(accounts, |_| {}).await;
    let mut drills = Vec::new();
    for point in points {
        let drill = chain.kill_at(point).await.unwrap();
        assert!(drill.recovered(), "{point}: {drill:?}");
        drills.push(drill);
    }
    let report = session::conclude(&mut chain, drills, Vec::new()).await;
    assert_agreed(&report);
}

async fn stopped_at(accounts: Accounts, points: Vec<Point>) {
    let _turn = Turn::take();
    let mut chain = chain_of(accounts, |_| {}).await;
    let mut drills = Vec::new();
    for point in points {
        let drill = chain.stop_at(point).await.unwrap();
        assert!(drill.recovered(), "{point}: {drill:?}");
        drills.push(drill);
    }
    let report = session::conclude(&mut chain, drills, Vec::new()).await;
    assert_agreed(&report);
}

/// Of the offsets only one, unless `LINEKEEPER_POINTS` is `all`: who was stopped is waited for, and
/// that takes seconds each time.
fn pauses(mut points: Vec<Point>) -> Vec<Point> {
    if std::env::var_os("LINEKEEPER_POINTS").is_none_or(|all| all != "all") {
        let one =
            |point: &Point| !matches!(point, Point::Inside(_, offset) if ![7, 13].contains(offset));
        points.retain(one);
    }
    points
}

/// Where the billing system sends no records of its own.
fn hx_points() -> Vec<Point> {
    let mut points = points(Side::Gateway);
    points.retain(|point| {
        !matches!(point, Point::Inside(Side::Billing, _) | Point::BeforeAnswer(Side::Billing))
    });
    points
}

/// Commands are shorter than charges.
fn cable_points() -> Vec<Point> {
    let mut points = points(Side::Billing);
    points.retain(|point| !matches!(point, Point::Inside(Side::Billing, 22..)));
    points
}

/// Nobody answers.
fn cdr_points() -> Vec<Point> {
    let mut points: Vec<_> = OFFSETS.map(|offset| Point::Inside(Side::Billing, offset)).into();
    points.extend([Point::BeforeAnswer(Side::Billing), Point::Idle]);
    points
}

#[tokio::test]
async fn fias_killed_at_every_point() {
    killed_at(watched("fias"), points(Side::Gateway)).await;
}

#[tokio::test]
async fn fias_killed_while_each_node_has_a_store_of_its_own() {
    let accounts = Accounts { shared: false, ..watched("fias") };
    killed_at(accounts, pauses(points(Side::Gateway))).await;
}

#[tokio::test]
async fn fias_stopped_and_woken() {
    stopped_at(watched("fias"), pauses(points(Side::Gateway))).await;
}

#[tokio::test]
async fn hx_killed_at_every_point() {
    killed_at(watched("hx"), hx_points()).await;
}

#[tokio::test]
async fn hx_stopped_and_woken() {
    stopped_at(watched("hx"), pauses(hx_points())).await;
}

#[tokio::test]
async fn cable_killed_at_every_point() {
    killed_at(watched("cable"), cable_points()).await;
}

#[tokio::test]
async fn cable_stopped_and_woken() {
    stopped_at(watched("cable"), pauses(cable_points())).await;
}

#[tokio::test]
async fn cdr_killed_at_every_point() {
    killed_at(watched("cdr"), cdr_points()).await;
}

#[tokio::test]
async fn cdr_stopped_and_woken() {
    stopped_at(watched("cdr"), pauses(cdr_points())).await;
}
