"""url_state.py: what is set on the page <-> the address, so that a view can be sent to somebody."""

from dash import ALL, ClientsideFunction, Dash, Input, Output, State


def url_callbacks(app: Dash) -> None:
    """Both ways run in the browser: assets/url.js."""
    app.clientside_callback(
        ClientsideFunction("url", "read"),
        Output("tabs", "value"),
        Output("source", "value"),
        Output("query", "value"),
        Output("set", "value"),
        Output("request", "value"),
        Output("user", "value"),
        Output("blend", "value"),
        Output("edited", "data"),
        Output({"slider": ALL}, "value"),
        Output("job", "data"),
        Input("url", "search"),
        State({"slider": ALL}, "id"),
        State("source", "value"),
        State("set", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("url", "write"),
        Output("address", "data"),
        Input("tabs", "value"),
        Input("case", "data"),
        Input({"slider": ALL}, "value"),
        Input("job", "data"),
        State({"slider": ALL}, "id"),
        prevent_initial_call=True,
    )
