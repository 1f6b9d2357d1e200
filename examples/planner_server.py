"""A planner of your own is a server that speaks the OpenAI chat protocol. This one has a map and no model.

    python examples/planner_server.py &
    slrl adapt --scenario maze_blocked --adapter vlm_pc --set planner.url=http://127.0.0.1:8080/v1

It reads what every planner is told, where the ball is and what each skill does, and answers with the skill
that leads best to the next waypoint.
"""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Point = tuple[float, float]  # x, y in metres
# Waypoints, each with the region from which it is the next one.
ROUTE: list[tuple[Point, Callable[[float, float], bool]]] = [
    ((-3.0, 1.5), lambda x, y: y > 0.9 and -2.5 < x < 2.0),  # out of the blocked corridor
    ((-3.0, -1.5), lambda x, y: y > -1.0 and x <= -2.5),  # down
    ((3.0, -1.5), lambda x, y: y <= -1.0 and x < 2.5),  # along the lower corridor
    ((3.0, 1.5), lambda x, y: True),  # up to the goal
]
NUMBER = r"([+-]?[\d.]+(?:e[+-]?\d+)?)"


def plan(instruction: str, situation: str) -> dict[str, object]:
    """The answer to a question: its form is the one that the instruction asks for."""
    state = re.search(rf"State: x \(m\) {NUMBER}; y \(m\) {NUMBER}", situation)
    x, y = (float(value) for value in state.groups())
    skills = re.findall(rf"^- (.+?): .*x \(m\) {NUMBER}, y \(m\) {NUMBER}", instruction, re.MULTILINE)
    goal = next(waypoint for waypoint, region in ROUTE if region(x, y))
    to_x, to_y = goal[0] - x, goal[1] - y

    def gain(skill: tuple[str, str, str]) -> float:
        return float(skill[1]) * to_x + float(skill[2]) * to_y

    best = max(skills, key=gain)[0]
    return {
        "situation": f"at {x:.1f}, {y:.1f}",
        "nearer": True,
        "plan": [{"skill": best, "steps": 20}],
        "risk": "none that I see",
    }


class Handler(BaseHTTPRequestHandler):
    """The two addresses that slrl uses."""

    def do_GET(self) -> None:
        """/v1/models"""
        self._send({"data": [{"id": "map"}]})

    def do_POST(self) -> None:
        """/v1/chat/completions"""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        instruction, question = request["messages"][:2]
        text = question["content"][0]["text"]
        answer = json.dumps(plan(instruction["content"], text))
        self._send({"choices": [{"message": {"role": "assistant", "content": answer}}]})

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""

    def _send(self, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
