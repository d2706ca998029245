"""`homeroom apps`: the applications."""

import click


@click.command()
def apps() -> None:
    """List the applications, what each is for, and the configurations it comes with.

    Applications of other distributions are listed too; one that cannot be used is listed with the reason.
    """
    from components.app import application_names, load_application
    from components.errors import ConfigError

    for name in application_names():
        try:
            application = load_application(name)
        except ConfigError as error:
            click.echo(f"{name}\n  broken: {error}")
        else:
            click.echo(f"{name}\n  {application.title}\n  configurations: {', '.join(application.configurations())}")
