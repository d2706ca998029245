"""`homeroom apps`: the applications."""

import click


@click.command()
def apps() -> None:
    """List the applications, what each is for, and the configurations it comes with."""
    from components.app import application_names, load_application

    for name in application_names():
        application = load_application(name)
        click.echo(f"{name}\n  {application.title}\n  configurations: {', '.join(application.configurations())}")
